"""What talks to an API server: the client, and nothing that knows a training run."""
