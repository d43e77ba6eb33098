"""GPU joules come from the counters of the boards in use, read through the real pynvml from a stub driver."""

import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pynvml
import pytest

from greenbench.hardware import gpus
from greenbench.meters import measure, nvml, poller
from greenbench.meters.nvml import Nvml
from greenbench.plugins import Polled, Reading
from greenbench.plugins.traces import Trace

COUNTER = "nvmlDeviceGetTotalEnergyConsumption"
POWER = "nvmlDeviceGetPowerUsage"


def read(driver, used_mj=(2_500, 4_000), seconds=0.12, device=None):
    """Use so many millijoules of each GPU inside a window."""
    reading = Reading(device=device)
    with Nvml().window(reading):
        for gpu, used in enumerate(used_mj):
            driver.use(gpu, used)
        time.sleep(seconds)
    return reading.quantities["energy_gpu_j"]


def torch_sees(monkeypatch, *uuids, started=True):
    """Put a torch in place that sees these devices, named as torch does it: without ``GPU-`` or ``MIG-``."""
    devices = [SimpleNamespace(uuid=uuid.partition("-")[2]) for uuid in uuids]
    cuda = SimpleNamespace(
        is_initialized=lambda: started,
        device_count=lambda: len(devices),
        get_device_properties=lambda index: devices[index],
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


# --- the counter -----------------------------------------------------------------------------------------


def test_joules_are_the_sum_over_the_gpus(driver):
    """Where no device is named the millijoules of all GPUs add up to joules, as a counter's value."""
    quantity = read(driver)
    assert (quantity.value, quantity.method, quantity.source) == (6.5, "counter", "nvml-total-energy")
    assert quantity.shared is False
    assert Nvml().unavailable() is None


@pytest.mark.measures
def test_a_counter_that_steps_gives_the_power_over_whole_steps(driver):
    """A GPU at 200 W whose counter moves every 100 ms gives its watts times the time, to within one step."""
    driver.set(0, watts=200)
    reading, before = Reading(device="cuda:0"), time.perf_counter()
    with Nvml().window(reading):
        opened = time.perf_counter()
        time.sleep(0.55)
        closing = time.perf_counter()
    after, joules = time.perf_counter(), reading.value("energy_gpu_j")
    assert 200 * (closing - opened - 0.1) < joules < 200 * (after - before + 0.1)
    assert joules % 20 == 0


@pytest.mark.parametrize("used_mj", [(0, 0), (2_500, 0), (2_500, -4_000)])
def test_a_counter_that_does_not_advance_is_unknown(driver, used_mj):
    """A counter that stood still, or fell as after a driver's reload, gives None, not 0 or less."""
    quantity = read(driver, used_mj)
    assert quantity.value is None
    assert "did not move" in quantity.note


def test_a_reset_that_the_edges_do_not_show_is_seen_by_the_poller(driver, tmp_path):
    """A counter that began anew and has passed its first value again looks fine; a sample stepped back in between."""
    with polling(tmp_path / "power.jsonl") as trace:
        reading = Reading(trace=trace, device="cuda:0")
        with Nvml().window(reading):
            for used in (30_000, -20_000, 15_000):
                driver.use(0, used)
                time.sleep(0.2)
    assert reading.value("energy_gpu_j") is None
    assert "stepped back" in reading.quantities["energy_gpu_j"].note


def test_joules_that_no_board_draws_are_unknown(driver):
    """A counter that jumped by 16 kJ in 0.1 s, as one that began anew may, gives None and the bound."""
    quantity = read(driver, (2_500, 16_000_000))
    assert quantity.value is None
    assert "GPU board (2,000 W)" in quantity.note


def seen(counted_w, sensed_w, steps=(), seconds=4.0):
    """What a board's samples are at ten a second, and more millijoules from the sample of that number on."""
    added, samples = dict(steps), []
    for n in range(int(10 * seconds)):
        mj = 1e3 * counted_w * n / 10 + sum(extra for at, extra in added.items() if n >= at)
        found = {"nvml.0.energy_mj": mj, "nvml.0.power_w": sensed_w}
        samples.append((n / 10, n / 10 + 0.001, found))
    return samples


@pytest.mark.parametrize(
    ("counted_w", "sensed_w", "steps", "seconds", "told"),
    [
        (200, 200, {}, 4.0, None),
        (200, 110, {}, 4.0, None),  # a sensor that lags
        (200, 200, {20: -50_000}, 4.0, "stepped back"),
        (200, 200, {20: 900_000}, 4.0, "jumped"),
        (0.2, 200, {}, 4.0, "0.2 W by the counter and 200 W by the sensor"),  # joules taken for millijoules
        (1999, 20, {}, 4.0, "2e+03 W by the counter and 20 W by the sensor"),
        (0.2, 200, {}, 2.0, None),  # too short to tell from a sensor that lags
    ],
)
def test_samples_contradict_a_counter(counted_w, sensed_w, steps, seconds, told):
    """One that goes back, jumps, or counts in another unit than the driver's power is no energy."""
    reads, joules = seen(counted_w, sensed_w, steps, seconds), counted_w * seconds
    why = nvml._jump(reads, "nvml.0.energy_mj") or nvml._other_power(reads, ["nvml.0.power_w"], joules, seconds)
    assert (why is None) if told is None else told in why


def test_a_window_under_the_update_is_unknown(driver):
    """A 50 ms window gives None even where a 100 ms step of the counter happens to fall into it."""
    quantity = read(driver, (30_000, 30_000), seconds=0.05)
    assert quantity.value is None
    assert "update of 0.1 s" in quantity.note


def test_a_gpu_lost_inside_the_window_is_unknown(driver):
    """A counter that cannot be read at the end gives None with the reason."""
    reading = Reading()
    with Nvml().window(reading):
        driver.refuse(1, COUNTER, pynvml.NVML_ERROR_GPU_IS_LOST)
    assert reading.quantities["energy_gpu_j"].value is None


def test_a_gpu_lost_before_the_window_does_not_end_the_cell(driver, monkeypatch):
    """A driver that refuses as the window opens costs the joules, with its words, and nothing else."""
    driver.refuse(0, "nvmlDeviceGetUUID", pynvml.NVML_ERROR_GPU_IS_LOST)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", driver.uuids[0])
    quantity = read(driver)
    assert quantity.value is None
    assert "NVML answers" in quantity.note


def test_segments_add_up(driver):
    """Two windows with one reading add up, and what is used in between is not counted."""
    reading = Reading()
    for _ in range(2):
        with Nvml().window(reading):
            driver.use(0, 1_000)
            driver.use(1, 500)
            time.sleep(0.11)
        driver.use(0, 90_000)
    assert reading.value("energy_gpu_j") == 3.0


# --- power where there is no counter ---------------------------------------------------------------------


@contextmanager
def polling(path, period_s=0.02):
    """Poll the meter as the poller's process does, in a thread."""
    stopped = threading.Event()
    thread = threading.Thread(target=poller.poll, args=[path, period_s, {"nvml": Nvml()}, stopped])
    thread.start()
    try:
        while not path.exists() or path.read_text().count("\n") < 3:
            time.sleep(0.01)
        yield Trace(path, period_s=period_s)
    finally:
        stopped.set()
        thread.join()


def test_without_a_counter_sampled_power_is_integrated(driver, tmp_path):
    """A board at 70 W without a counter gives 70 W times the window, marked as sampled, with what it rests on."""
    driver.refuse(0, COUNTER)
    with polling(tmp_path / "power.jsonl") as trace:
        reading = Reading(trace=trace, device="cuda:0")
        with measure([Nvml()], reading):
            time.sleep(0.5)
    quantity, (start, end) = reading.quantities["energy_gpu_j"], reading.segments[0]
    assert quantity.value == pytest.approx(70 * (end - start))
    assert (quantity.method, quantity.source, quantity.shared) == ("sampled", "nvml-power", False)
    assert quantity.note.startswith("no energy counter: instantaneous power, ")
    assert "samples in the window" in quantity.note


def test_without_a_counter_and_a_poller_it_is_unknown(driver):
    """Where nobody samples the power the joules are None with the reason, not 0."""
    driver.refuse(0, COUNTER)
    reading = Reading(device="cuda")
    with measure([Nvml()], reading):
        time.sleep(0.12)
    assert reading.value("energy_gpu_j") is None
    assert "trace_hz" in reading.quantities["energy_gpu_j"].note


def test_the_power_of_a_slice_is_its_boards(driver, tmp_path):
    """A vGPU without a counter is sampled and marked as shared."""
    driver.refuse(1, COUNTER)
    driver.set(1, mw=40_000, virtual_mode=2)
    with polling(tmp_path / "power.jsonl") as trace:
        reading = Reading(trace=trace, device="cuda:1")
        with measure([Nvml()], reading):
            time.sleep(0.2)
    quantity, (start, end) = reading.quantities["energy_gpu_j"], reading.segments[0]
    assert quantity.value == pytest.approx(40 * (end - start))
    assert quantity.shared is True


@pytest.mark.parametrize(
    ("capability", "instant_mw", "meaning", "watts"),
    [
        (60, 0, "instantaneous power", 70.0),
        (80, 0, "instantaneous power", 70.0),
        (86, 0, "power averaged by the driver over 1 s", 70.0),
        (90, 0, "power averaged by the driver over 1 s", 70.0),
        (90, 65_500, "instantaneous power", 65.5),
    ],
)
def test_what_the_drivers_power_means_is_told(driver, capability, instant_mw, meaning, watts):
    """GA100 and older tell the moment, newer ones a mean over 1 s, unless they have a field for the moment."""
    driver.refuse(0, COUNTER)
    driver.set(0, capability=capability, instant_mw=instant_mw)
    reading = Reading(device="cuda")
    with Nvml().window(reading):
        pass
    assert reading.sampled["energy_gpu_j"].note == f"no energy counter: {meaning}"
    assert Nvml().sample()["nvml.0.power_w"] == watts


def test_every_visible_board_is_sampled(driver, monkeypatch):
    """The poller gets power and counter of all visible boards, by NVML's index, of each what it tells."""
    assert isinstance(Nvml(), Polled)
    driver.set(1, mw=5_250)
    counters = {"nvml.0.energy_mj": 1000, "nvml.1.energy_mj": 5000}
    assert Nvml().sample() == {"nvml.0.power_w": 70.0, "nvml.1.power_w": 5.25, **counters}
    driver.refuse(0, POWER)
    assert Nvml().sample() == {"nvml.1.power_w": 5.25, **counters}
    driver.refuse(1, COUNTER)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    gpus.polled_boards.cache_clear()
    assert Nvml().sample() == {"nvml.0.energy_mj": 1000}


def test_power_beyond_what_a_board_can_draw_is_none(driver):
    """A sensor that shows twice the default limit of 250 W, or more, is at its end; what a board bursts to is power."""
    driver.set(0, mw=500_000)
    driver.set(1, mw=499_000)
    seen = Nvml().sample()
    assert (seen["nvml.0.full_scale_w"], seen["nvml.1.power_w"]) == (500.0, 499.0)
    assert "nvml.0.power_w" not in seen


def test_joules_that_rest_on_samples_need_a_faster_pace(driver):
    """The poller goes at half the driver's update where a board has no counter, and at its own pace elsewhere."""
    assert Nvml().period_s is None
    driver.refuse(1, COUNTER)
    assert Nvml().period_s == 0.05


# --- which boards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "joules"),
    [
        ("0", 2.5),
        ("1", 4.0),
        ("1,0", 6.5),
        ("1,-1,0", 4.0),
        ("0,7,1", 2.5),
        ("0,0", 2.5),
        ("GPU-bbbb1111-0000-0000-0000-000000000000", 4.0),
        ("GPU-aaaa", 2.5),
        (" GPU-aaaa1111-0000-0000-0000-000000000000 , GPU-bbbb", 6.5),
    ],
)
def test_only_visible_gpus_count(driver, monkeypatch, mask, joules):
    """CUDA_VISIBLE_DEVICES is followed as CUDA does: by index or UUID, up to the first entry that is none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert read(driver).value == joules


@pytest.mark.parametrize(
    ("mask", "device", "joules"),
    [
        (None, "cuda", 2.5),
        (None, "cuda:0", 2.5),
        (None, "cuda:1", 4.0),
        ("1", "cuda", 4.0),
        ("1,0", "cuda:1", 2.5),
        ("GPU-bbbb,GPU-aaaa", "cuda:0", 4.0),
    ],
)
def test_of_two_gpus_the_one_that_the_model_runs_on_counts(driver, monkeypatch, mask, device, joules):
    """A device is one of those that the mask leaves, in its order, and the other GPU's joules are left out."""
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert read(driver, device=device).value == joules


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_a_model_elsewhere_uses_no_gpu(driver, device):
    """A model on the CPU or on an Apple chip has no GPU joules: the boards are not even asked."""
    driver.refuse(0, COUNTER, pynvml.NVML_ERROR_GPU_IS_LOST)
    reading = Reading(device=device)
    with Nvml().window(reading):
        pass
    assert reading.quantities == {}


@pytest.mark.parametrize("mask", ["", "-1", "-1,0"])
def test_hiding_all_gpus_makes_it_unavailable(driver, monkeypatch, mask):
    """With every GPU hidden there is nothing to measure, and the reason names the variable."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert "CUDA_VISIBLE_DEVICES" in Nvml().unavailable()


@pytest.mark.parametrize(("device", "joules"), [(None, 4.0), ("cuda", 4.0)])
def test_what_torch_uses_wins_over_the_index(driver, monkeypatch, device, joules):
    """A torch that runs CUDA tells its GPU by UUID, since CUDA's index need not be NVML's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    torch_sees(monkeypatch, driver.uuids[1])
    assert read(driver, device=device).value == joules


def test_the_device_is_torchs(driver, monkeypatch):
    """Where torch counts its devices in another order than NVML, its order decides."""
    torch_sees(monkeypatch, *reversed(driver.uuids))
    assert read(driver, device="cuda:0").value == 4.0
    assert read(driver, device="cuda:1").value == 2.5


def test_an_idle_torch_is_not_asked(driver, monkeypatch):
    """A torch that has not started CUDA is left alone, and the mask decides."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    torch_sees(monkeypatch, driver.uuids[1], started=False)
    assert read(driver).value == 2.5


def test_an_unlisted_device_is_a_reason(driver, monkeypatch):
    """A mask with an unknown UUID makes the meter unavailable and names the entry; a window goes on without."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cccc")
    assert "GPU-cccc" in Nvml().unavailable()
    quantity = read(driver, device="cuda")
    assert quantity.value is None
    assert "GPU-cccc" in quantity.note


def test_a_machine_without_gpus_is_a_reason(driver):
    """A driver that lists no GPU makes the meter unavailable."""
    driver.gpus(0)
    assert "no GPU is visible" in Nvml().unavailable()


def test_visible_without_a_mask_is_everything(monkeypatch):
    """Without CUDA_VISIBLE_DEVICES every index is visible."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.visible(3) == ["0", "1", "2"]


# --- slices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "joules"),
    [
        (None, 2.5),
        ("0", 2.5),
        ("MIG-0122-0000-0000-0000-000000000000", 2.5),
        ("MIG-1022-0000-0000-0000-000000000000", 4.0),
        ("MIG-11", 4.0),
        ("MIG-GPU-bbbb1111-0000-0000-0000-000000000000/1/0", 4.0),
    ],
)
def test_a_slice_has_its_boards_joules_and_says_so(driver, monkeypatch, mask, joules):
    """A MIG slice, in every way of naming it, is measured by the board's counter and marked as shared."""
    driver.set(0, mig=1)
    driver.set(1, mig=1)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert Nvml().unavailable() is None
    quantity = read(driver, device="cuda")
    assert (quantity.value, quantity.shared, quantity.method) == (joules, True, "counter")


def test_two_slices_of_a_board_count_it_once(driver, monkeypatch):
    """Two visible slices of one board are one board's joules, not twice as many."""
    driver.set(0, mig=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-0022,MIG-0122")
    assert read(driver).value == 2.5


@pytest.mark.parametrize("uuid", ["MIG-1122-0000-0000-0000-000000000000", "GPU-bbbb1111-0000-0000-0000-000000000000"])
def test_torchs_slice_is_found(driver, monkeypatch, uuid):
    """Whether torch names the slice or its board, the board's joules are marked as shared."""
    driver.set(1, mig=1)
    torch_sees(monkeypatch, uuid)
    quantity = read(driver, device="cuda:0")
    assert (quantity.value, quantity.shared) == (4.0, True)


@pytest.mark.parametrize(("mode", "shared"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_virtual_gpu_is_shared_and_one_that_is_passed_through_is_not(driver, mode, shared):
    """NVML's virtualisation modes: bare metal and pass-through have the board for themselves, vGPU does not."""
    driver.set(0, virtual_mode=mode)
    assert read(driver, device="cuda").shared is shared


def test_a_gpu_that_cannot_be_split_is_fine(driver):
    """A GPU that knows neither MIG nor virtualisation is available and its own."""
    driver.refuse(0, "nvmlDeviceGetMigMode")
    driver.refuse(0, "nvmlDeviceGetVirtualizationMode")
    assert Nvml().unavailable() is None
    assert read(driver, device="cuda").shared is False


def test_an_unknown_slice_is_a_reason(driver, monkeypatch):
    """A slice that no board has is named in the reason, not taken for a number."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f")
    assert "MIG-c6d4f1ef" in Nvml().unavailable()


# --- why not ---------------------------------------------------------------------------------------------


def test_a_gpu_that_tells_neither_energy_nor_power_is_a_reason(driver):
    """GPUs without counter and power make the meter unavailable rather than 0 J; one that tells either is enough."""
    for gpu in range(2):
        assert Nvml().unavailable() is None
        driver.refuse(gpu, COUNTER)
        driver.refuse(gpu, POWER)
    assert "neither energy nor power" in Nvml().unavailable()


@pytest.mark.parametrize("call", [COUNTER, "nvmlDeviceGetUUID"])
def test_a_refusing_driver_is_a_reason(driver, monkeypatch, call):
    """Any other error of the driver makes the meter unavailable with the driver's words."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", driver.uuids[0])
    driver.refuse(0, call, pynvml.NVML_ERROR_NO_PERMISSION)
    reason = Nvml().unavailable()
    assert "NVML answers" in reason
    assert "\n" not in reason


@pytest.mark.usefixtures("no_driver")
@pytest.mark.parametrize(("torch", "told"), [("2.9.0", "no NVIDIA driver"), ("2.9.0+rocm6.4", "AMD's GPUs (ROCm)")])
def test_no_driver_is_a_reason(monkeypatch, torch, told):
    """Without the driver's library the reason says so, or that torch's GPUs are another maker's, in one line."""
    monkeypatch.setattr(gpus, "version", lambda package: torch)
    reason = Nvml().unavailable()
    assert told in reason
    assert "\n" not in reason
