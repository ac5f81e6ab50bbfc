"""The family that trains nothing: its ranks find each other by torchrun through the chart's Service and add numbers."""
