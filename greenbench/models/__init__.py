"""Models: what families of recognisers and methods both need of a torch CTC model."""
