"""What browsers and proxies say about a request: its origin, its client's address, its cookies. No endpoint, no I/O."""
