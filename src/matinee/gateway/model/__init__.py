"""The rules of the gateway: presentation of titles, names of uploads, configuration of the proxy."""
