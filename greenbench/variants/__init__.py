"""Model families: each says how its models load and how a batch of waveforms becomes text."""
