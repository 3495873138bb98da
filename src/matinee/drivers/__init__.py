"""One module for each engine or tool. Only drivers and adapters import vendor libraries."""
