"""The grid factor of a suite's electricity."""

from pydantic import BaseModel, ConfigDict, Field


class Carbon(BaseModel):
    """The grid factor behind ``co2e_g``; without one there is no CO2 figure.

    Attributes:
        g_per_kwh: grams of CO2e per kilowatt-hour.
        source: who states the factor.
        year: for which year.
        pue: power usage effectiveness of the data centre, a factor of at least 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    g_per_kwh: float = Field(ge=0, le=1e6)
    source: str = Field(min_length=1)
    year: int
    pue: float = Field(1.0, ge=1, le=1e3)
