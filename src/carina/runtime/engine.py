"""An ONNX graph that runs: OpenVINO where the extra is installed, ONNX Runtime otherwise; nothing above knows which.

Precisions: ``f32``; ``bf16`` for what is left after 8 bits of an exponent, on processors that have it, with OpenVINO;
``int8`` where the graph itself was made for it (`carina.learning.export.quantise`). That takes the grey bytes of an
image in place of a tensor of floats. Which precisions a model may be used in, its bundle says.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError, ConfigurationError
from carina.runtime.compiled_graphs import graph_key, keep_graph, recall_graph
from carina.runtime.machine import describe_machine, has_byte_products, processor_flags, usable_cores
from carina.runtime.openvino_library import import_openvino
from carina.runtime.streams import side_by_side

Backend = Literal["auto", "openvino", "onnxruntime"]
Precision = Literal["auto", "f32", "bf16", "int8"]
Tensors = Mapping[str, NDArray[np.float32]]
Batch = NDArray[np.float32] | NDArray[np.uint8]


class EngineSettings(TypedDict, total=False):
    """What `load_engine` may be told."""

    backend: Backend
    precision: Precision
    threads: int | None
    one_at_a_time: bool
    keep_compiled: bool


class Engine(Protocol):
    """A compiled graph with one input.

    Attributes
    ----------
    name
        Library and version, for people and for ``run.json``.
    precision, threads
        What it computes in (``f32``, ``bf16`` or ``int8``), and by how many processor cores.
    input_sizes, outputs
        Rows, columns and channels of one image, 0 where the graph leaves one open; and the names of the outputs.
    takes_bytes
        Whether it takes grey values, uint8 ``(n, rows, columns)``, instead of float32 ``(n, rows, columns, 3)``.
    at_once
        How many threads are to call `run` at the same time, so that all processor cores are used.
    """

    name: str
    precision: str
    threads: int
    input_sizes: tuple[int, ...]
    outputs: tuple[str, ...]
    takes_bytes: bool
    at_once: int

    def run(self, batch: Batch) -> Tensors:
        """Return every output by name for one batch: float32, first axis as the batch's. Threads may call it at once.

        A batch without rows is not computed and gives no outputs.
        """

    def stream(self, batches: Iterable[Batch]) -> Iterator[Tensors]:
        """Yield what `run` gives for each batch, in order, computing several at once where that is faster."""


def load_engine(
    path: Path,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    one_at_a_time: bool = False,
    keep_compiled: bool = False,
) -> Engine:
    """Return the graph in an ONNX file, compiled for this processor.

    Parameters
    ----------
    path
        The ``.onnx`` file; it must have one input.
    backend
        ``auto`` takes OpenVINO if it can be imported.
    precision
        ``auto`` is ``f32``. ``int8`` says that the graph has integers in it.
    threads
        Processor cores to use; by default all that this process may use.
    one_at_a_time
        Whether all cores work on one batch, for the shortest wait, instead of one each, for the most in all.
    keep_compiled
        Whether the compiled form is kept in the user's cache, so that the next process need not compile; see
        `carina.runtime.compiled_graphs`.

    Raises
    ------
    BundleError
        If the file is missing or no valid graph.
    ConfigurationError
        If there is no such backend, it was named and is not installed, or ``bf16`` is asked for and is not available.
    """
    if not path.is_file():
        msg = f"{path} is missing. Train or export the model again."
        raise BundleError(msg)
    if backend not in (backends := get_args(Backend)):
        msg = f"There is no engine {backend!r}. Choose one of: {', '.join(backends)}."
        raise ConfigurationError(msg)
    cores, precision = threads or usable_cores(), "f32" if precision == "auto" else precision
    if backend in ("auto", "openvino"):
        try:
            openvino = import_openvino()
        except ImportError:
            if backend == "openvino":
                msg = (
                    "The openvino backend is not installed. "
                    'Install it with: pip install "carina-cxr[openvino]". Or choose onnxruntime.'
                )
                raise ConfigurationError(msg) from None
        else:
            settings = {
                "INFERENCE_NUM_THREADS": cores,
                "PERFORMANCE_HINT": "LATENCY" if one_at_a_time else "THROUGHPUT",
                # Processors with bf16 would otherwise use it unasked, and training and prediction would disagree.
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            }
            return _OpenVinoEngine(openvino, path, precision, settings, keep_compiled=keep_compiled)
    if precision == "bf16":
        msg = "ONNX Runtime computes in f32 and int8 here. For bf16 install openvino and choose it, or choose f32."
        raise ConfigurationError(msg)
    return _OnnxRuntimeEngine(path, precision, cores, one_at_a_time=one_at_a_time, keep_compiled=keep_compiled)


def installed_backends() -> tuple[Backend, ...]:
    """Return the backends that can be loaded here, the fastest first."""
    return ("openvino", "onnxruntime") if find_spec("openvino") is not None else ("onnxruntime",)


def available_precisions(backend: Backend) -> tuple[Precision, ...]:
    """Return what this processor can compute any graph in by an engine, ``f32`` first."""
    if backend == "onnxruntime" or "openvino" not in installed_backends():
        return ("f32",)
    return ("f32", "bf16") if _has_bf16(import_openvino().Core()) else ("f32",)


def computes_fast(precision: Precision, backend: Backend) -> bool:
    """Return whether this processor has instructions for a precision, and an engine that uses them."""
    if precision == "int8":
        return has_byte_products()
    return precision in available_precisions(backend)


def _damaged(path: Path) -> BundleError:
    return BundleError(f"{path} is not a graph that can be run. Train or export the model again.")


class _OpenVinoEngine:
    def __init__(
        self, openvino: Any, path: Path, precision: str, settings: dict[str, Any], *, keep_compiled: bool
    ) -> None:
        core = openvino.Core()
        if precision == "bf16" and not _has_bf16(core):
            msg = f"This processor ({describe_machine()}) does not compute in bf16. Choose f32 or int8."
            raise ConfigurationError(msg)
        try:
            if keep_compiled:
                self._compiled = _compiled_or_kept(openvino, core, path, settings)
            else:
                self._compiled = core.compile_model(str(path), "CPU", settings)
        except RuntimeError:
            raise _damaged(path) from None
        self.outputs = tuple(port.get_any_name() for port in self._compiled.outputs)
        shape = self._compiled.inputs[0].get_partial_shape()
        self.takes_bytes = self._compiled.inputs[0].get_element_type() == openvino.Type.u8
        self._takes = np.uint8 if self.takes_bytes else np.float32
        self.input_sizes = tuple(0 if size.is_dynamic else size.get_length() for size in list(shape)[1:])
        self.at_once = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        # A request's buffers are made when it first computes: for one image that takes as long as the lungs.
        self._spare: list[Any] = []
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        self.precision = precision
        self.threads = int(settings["INFERENCE_NUM_THREADS"])

    def run(self, batch: Batch) -> Tensors:
        if len(batch) == 0:
            return {}
        request = self._request()
        # Without a copy: the batch outlives the request's work, which is waited for.
        request.start_async({0: _as_taken(batch, self._takes)}, share_inputs=True)
        request.wait()
        outputs = {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.outputs)}
        self._spare.append(request)
        return outputs

    def stream(self, batches: Iterable[Batch]) -> Iterator[Tensors]:
        return side_by_side(self.run, batches, threads=self.at_once)

    def _request(self) -> Any:
        try:
            return self._spare.pop()
        except IndexError:
            return self._compiled.create_infer_request()


def _as_taken(batch: Batch, takes: type[np.uint8 | np.float32]) -> NDArray[Any]:
    if takes is np.uint8 and batch.dtype != np.uint8:
        # Cast, they would be other images, and nobody would know.
        msg = f"This graph takes grey bytes and was given {batch.dtype}."
        raise TypeError(msg)
    return np.ascontiguousarray(batch, takes)


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compiled_or_kept(openvino: Any, core: Any, path: Path, settings: dict[str, Any]) -> Any:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    key = graph_key(sha256, openvino.__version__, describe_machine(), repr(sorted(settings.items())))
    kept = recall_graph(key)
    if kept is not None:
        try:
            return core.import_model(kept, "CPU", settings)
        except RuntimeError:  # of a build that calls itself by the same version
            pass
    compiled = core.compile_model(str(path), "CPU", settings)
    keep_graph(key, compiled.export_model().getvalue())
    return compiled


_PROCESSOR = ["CPUExecutionProvider"]


def _optimised_or_kept(onnxruntime: Any, path: Path, options: Any) -> Any:
    """Return a session on a graph that was optimised for this processor, now or by an earlier process."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    # Layers are laid out for the processor's own instructions: with others the graph would not run.
    has = " ".join(processor_flags())
    key = graph_key(sha256, f"onnxruntime {onnxruntime.__version__}", describe_machine(), has)
    kept = recall_graph(key)
    if kept is not None:
        optimise = options.graph_optimization_level
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return onnxruntime.InferenceSession(kept, options, providers=_PROCESSOR)
        except Exception:  # noqa: BLE001  # of a build that calls itself by the same version
            options.graph_optimization_level = optimise
    with suppress(Exception), TemporaryDirectory(prefix="carina-graph-") as folder:  # a full disk, or a damaged graph
        written = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(written)
        session = onnxruntime.InferenceSession(str(path), options, providers=_PROCESSOR)
        keep_graph(key, written.read_bytes())
        return session
    options.optimized_model_filepath = ""
    return onnxruntime.InferenceSession(str(path), options, providers=_PROCESSOR)


class _OnnxRuntimeEngine:
    def __init__(self, path: Path, precision: str, threads: int, *, one_at_a_time: bool, keep_compiled: bool) -> None:
        import onnxruntime  # noqa: PLC0415  # half a second to import, needed only without OpenVINO

        options = onnxruntime.SessionOptions()
        # Cores that share one small batch wait for each other after every layer.
        self.at_once = 1 if one_at_a_time else threads
        options.intra_op_num_threads = threads if one_at_a_time else 1
        # Threads that wait would otherwise spin, on the cores where the next images are decoded.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = (
                _optimised_or_kept(onnxruntime, path, options)
                if keep_compiled
                else onnxruntime.InferenceSession(str(path), options, providers=_PROCESSOR)
            )
        except Exception:  # noqa: BLE001  # its errors share no base class but Exception
            raise _damaged(path) from None
        taken = self._session.get_inputs()[0]
        self._input = taken.name
        self.takes_bytes = taken.type == "tensor(uint8)"
        self._takes = np.uint8 if self.takes_bytes else np.float32
        self.input_sizes = tuple(size if isinstance(size, int) else 0 for size in taken.shape[1:])
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self.precision = precision
        self.threads = threads

    def run(self, batch: Batch) -> Tensors:
        if len(batch) == 0:
            return {}
        outputs = self._session.run(None, {self._input: _as_taken(batch, self._takes)})
        return dict(zip(self.outputs, outputs, strict=True))

    def stream(self, batches: Iterable[Batch]) -> Iterator[Tensors]:
        return side_by_side(self.run, batches, threads=self.at_once)
