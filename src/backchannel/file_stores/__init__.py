"""Where the bytes of files are: local disk, memory, S3, Azure Blob Storage or Google Cloud Storage."""
