"""How a process is put together: settings, engines, and the registration of each domain."""
