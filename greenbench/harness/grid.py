"""The grid factor of the hour: Electricity Maps is asked by codecarbon's reader, outside of every measured window."""

import os
from datetime import datetime, timezone
from typing import Any

from greenbench import extras
from greenbench.errors import InputError
from greenbench.suite.carbon import Carbon

TOKEN = "CODECARBON_ELECTRICITYMAPS_API_TOKEN"  # noqa: S105 (the name of a variable)
"""The variable of the environment that has the token; codecarbon's own."""

SOURCE = "Electricity Maps"


def require(carbon: Carbon | None) -> None:
    """Refuse a run that asks for the factor of the hour and cannot ask.

    Raises:
        MissingError: codecarbon is not installed.
        InputError: there is no token.
    """
    if carbon is None or carbon.zone is None:
        return
    extras.need("codecarbon")
    if not os.environ.get(TOKEN):
        raise InputError(f"carbon.zone: set {TOKEN} to a token of {SOURCE}, or state the factor (g_per_kwh).")


def asked(carbon: Carbon | None) -> dict[str, Any]:
    """Ask for the factor of the hour, where the suite has a zone; codecarbon keeps an answer for a minute.

    Returns:
        Columns of rows: the factor, its source, its year, and when it was asked for; or ``carbon_note`` with the reason
        why there is no factor. Nothing where the suite states one, or none.
    """
    if carbon is None or carbon.zone is None:
        return {}
    from codecarbon.core.electricitymaps_api import get_carbon_intensity
    from codecarbon.external.geography import GeoMetadata

    latitude, _, longitude = carbon.zone.partition(",")
    if longitude:
        place = GeoMetadata(country_iso_code="", latitude=float(latitude), longitude=float(longitude))
    else:
        place = GeoMetadata(country_iso_code="", country_2letter_iso_code=carbon.zone)
    now = datetime.now(timezone.utc)
    known = {"carbon_source": SOURCE, "carbon_year": now.year, "carbon_time_utc": now.isoformat(timespec="seconds")}
    try:
        factor = float(get_carbon_intensity(place, os.environ.get(TOKEN, "")))
    except Exception as error:  # the reader passes on errors of its HTTP library
        why = " ".join(str(error).split()) or type(error).__name__
        return {**known, "carbon_note": f"{SOURCE} gave no factor: {why:.200}"}
    return {**known, "carbon_g_per_kwh": factor}
