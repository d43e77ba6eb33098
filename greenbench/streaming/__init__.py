"""Streaming: how any model is streamed, what a session logs, and the latencies that follow from its log."""
