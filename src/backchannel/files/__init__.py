"""Files that people attach to messages: their way from a browser into a file store, to their owner, and to models."""
