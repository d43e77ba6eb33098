"""The price of the machine that a suite runs on."""

from pydantic import BaseModel, ConfigDict, Field


class Price(BaseModel):
    """The price behind ``cost_per_audio_hour``; without one there is no cost.

    Attributes:
        per_hour: what an hour of the whole machine costs, above 0.
        currency: of the price, three letters of ISO 4217.
        source: who states the price, and of when.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_hour: float = Field(gt=0, le=1e6)
    currency: str = Field(pattern="^[A-Z]{3}$")
    source: str = Field(min_length=1)
