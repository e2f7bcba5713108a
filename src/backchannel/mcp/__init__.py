"""MCP servers of agents: connected, watched, reconnected and closed."""
