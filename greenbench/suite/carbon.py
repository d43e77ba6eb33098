"""The grid factor of a suite's electricity: stated, or asked for while a run is measured."""

import re

from pydantic import BaseModel, ConfigDict, Field, model_validator

_PLACE = re.compile(r"[A-Z]{2}|-?\d{1,2}(?:\.\d+)?,-?\d{1,3}(?:\.\d+)?")


class Carbon(BaseModel):
    """The grid factor behind ``co2e_g``; without one there is no CO2 figure.

    Attributes:
        g_per_kwh: grams of CO2e per kilowatt-hour.
        source: who states the factor.
        year: for which year.
        zone: instead of these three, where the machine is: a country (``DE``), or latitude and longitude
            (``"52.5,13.4"``). Before each cell Electricity Maps is asked for the factor of the hour; the token is in
            the variable ``CODECARBON_ELECTRICITYMAPS_API_TOKEN``.
        pue: power usage effectiveness of the data centre, a factor of at least 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    g_per_kwh: float | None = Field(None, ge=0, le=1e6)
    source: str | None = Field(None, min_length=1)
    year: int | None = None
    zone: str | None = None
    pue: float = Field(1.0, ge=1, le=1e3)

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> "Carbon":
        stated = {"g_per_kwh": self.g_per_kwh, "source": self.source, "year": self.year}
        lacking = [name for name, value in stated.items() if value is None]
        if self.zone is None and lacking:
            raise ValueError(f"{', '.join(lacking)} missing: state the factor with its source and year, or a zone")
        if self.zone is not None and len(lacking) < len(stated):
            raise ValueError("give either the factor (g_per_kwh, source, year) or the zone that it is asked for")
        if self.zone is not None and not _PLACE.fullmatch(self.zone):
            raise ValueError(f"zone '{self.zone}' is neither a country, such as DE, nor 'latitude,longitude'")
        return self
