"""What `trainchart cache` runs in a pod of its own. No run has these programs."""
