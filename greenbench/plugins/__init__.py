"""What a plug-in provides: the contracts between the harness and models, data sets, meters and methods.

Every plug-in but a normaliser is a *frozen dataclass of settings*: its fields are the keys that a suite file
may give it, checked strictly, and written back into ``run.json``. What it does is one or two methods.
"""

from greenbench.plugins.chain import Chained, Compressible, Outline, follow, parted
from greenbench.plugins.footprint import EarlyExits, Footprint
from greenbench.plugins.meters import METHODS, Meter, Origin, Paced, Polled, Quantity, Reading, SampledPower
from greenbench.plugins.models import (
    BARE,
    LINEAGE,
    Calibrated,
    CalibrationData,
    Context,
    Export,
    Inapplicable,
    KnownPrecision,
    Method,
    NamesProgram,
    NeedsExtra,
    NeedsTeacher,
    Step,
    Transcriber,
    Variant,
    VariantFamily,
    VariantInfo,
)
from greenbench.plugins.paths import ModelRef, SuitePath
from greenbench.plugins.speech import SAMPLE_RATE_HZ, Clip, Dataset, Fetched, Spoken, Utterance, Waveform, WordTime
from greenbench.plugins.streaming import Framewise, Partial, Streamer, StreamingSession
from greenbench.plugins.tasks import (
    TRANSCRIBE,
    Asks,
    Decides,
    Embeds,
    LogProbabilities,
    StatesDecoding,
    Task,
    TextPair,
)

__all__ = [
    "BARE",
    "LINEAGE",
    "METHODS",
    "SAMPLE_RATE_HZ",
    "TRANSCRIBE",
    "Asks",
    "Calibrated",
    "CalibrationData",
    "Chained",
    "Clip",
    "Compressible",
    "Context",
    "Dataset",
    "Decides",
    "EarlyExits",
    "Embeds",
    "Export",
    "Fetched",
    "Footprint",
    "Framewise",
    "Inapplicable",
    "KnownPrecision",
    "LogProbabilities",
    "Meter",
    "Method",
    "ModelRef",
    "NamesProgram",
    "NeedsExtra",
    "NeedsTeacher",
    "Origin",
    "Outline",
    "Paced",
    "Partial",
    "Polled",
    "Quantity",
    "Reading",
    "SampledPower",
    "Spoken",
    "StatesDecoding",
    "Step",
    "Streamer",
    "StreamingSession",
    "SuitePath",
    "Task",
    "TextPair",
    "Transcriber",
    "Utterance",
    "Variant",
    "VariantFamily",
    "VariantInfo",
    "Waveform",
    "WordTime",
    "follow",
    "parted",
]
