"""Three plugins that exist only to hold core to its contract: a fused kernel, a delegate that fails, steps that join."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from sodalite.errors import DelegateError
from sodalite.hookspecs import hookimpl
from sodalite.kernel import (
    Buffers,
    GroupSpec,
    KernelSet,
    Member,
    NodeSpec,
    Prepared,
    Quality,
    Reason,
    Step,
    Unsupported,
)

FORMULAS: dict[str, Callable[..., np.ndarray]] = {
    "ADD": np.add,
    "MUL": np.multiply,
    "NEG": np.negative,
    "VIEW": np.positive,
    "INPLACE_NEG": np.negative,
    "SCRATCHED": lambda a: a * np.float32(2),
}


class Fused:
    """Plugin: NEG(a * b) and NEG(a + b * c) as one step each. runs counts the steps taken."""

    name = "fused"

    def __init__(self, quality: Quality = Quality.SIMD, declines: bool = False) -> None:
        self.runs: list[str] = []
        self.kernels = KernelSet(quality=quality)
        product = Member("product", ("MUL",))
        self.kernels.fuse("mul_neg", [product, Member("root", ("NEG", "INPLACE_NEG"), ("product",))], self._mul_neg)
        self.kernels.fuse(
            "mul_add_neg",
            [product, Member("sum", ("ADD",), (None, "product")), Member("root", ("NEG",), ("sum",))],
            self._mul_add_neg,
        )
        self._declines = declines

    @hookimpl
    def sodalite_kernels(self) -> KernelSet:
        return self.kernels

    def _mul_neg(self, group: GroupSpec) -> Prepared:
        return self._prepared(group, lambda v: -(v[0][0] * v[0][1]), "mul_neg")

    def _mul_add_neg(self, group: GroupSpec) -> Prepared:
        return self._prepared(group, lambda v: -(v[1][0] + v[0][0] * v[0][1]), "mul_add_neg")

    def _prepared(self, group: GroupSpec, formula: Callable[..., np.ndarray], name: str) -> Prepared:
        if self._declines:
            raise Unsupported("not today", code=Reason.OTHER)
        constants = {i: t.data for m, ins in zip(group.members, group.member_inputs, strict=True) for i, t in zip(ins, m.inputs, strict=True) if t.data is not None}
        places = {t.index: k for k, t in enumerate(group.inputs)}

        def bind(buffers: Buffers) -> Step:
            def value(i: int) -> np.ndarray | None:
                return constants[i] if i in constants else buffers.inputs[places[i]] if i in places else None

            members = [[value(i) for i in ins] for ins in group.member_inputs]

            def step() -> None:
                self.runs.append(name)
                buffers.outputs[0][...] = formula(members)

            return step

        return Prepared((group.outputs[0].shape,), bind)


class Flaky:
    """A delegate that computes FORMULAS, refuses nodes in *refused*, and fails on the runs that *fails(n)* says.

    A failing run first fills its outputs with rubbish. n counts the runs of all its partitions. greedy: refuses
    nothing, not even what it cannot compute.
    """

    def __init__(
        self,
        name: str = "flaky",
        *,
        fails: Callable[[int], BaseException | None] = lambda n: None,
        refused: Collection[int] = (),
        min_nodes: int = 1,
        max_partitions: int = 0,
        gives_back: bool = False,
        greedy: bool = False,
    ) -> None:
        self.name = name
        self.min_nodes = min_nodes
        self.max_partitions = max_partitions
        self.compiled: list[tuple[int, ...]] = []
        self.runs = 0
        self.closed = 0
        self._fails = fails
        self._refused = refused
        self._gives_back = gives_back
        self._greedy = greedy

    def refuses(self, node: NodeSpec) -> Unsupported | None:
        if node.op not in FORMULAS and not self._greedy:
            return Unsupported(f"no {node.op} here", code=Reason.TYPE)
        if node.index in self._refused:
            return Unsupported("told to refuse it", code=Reason.OPTION)
        return None

    def compile(self, group: GroupSpec) -> Prepared:
        if self._gives_back:
            raise Unsupported("changed its mind", code=Reason.DEVICE)
        self.compiled.append(tuple(m.index for m in group.members))

        def bind(buffers: Buffers) -> Step:
            constants = {
                i: t.data for m, ins in zip(group.members, group.member_inputs, strict=True) for i, t in zip(ins, m.inputs, strict=True) if t.data is not None
            }

            def step() -> None:
                n = self.runs
                self.runs += 1
                if (error := self._fails(n)) is not None:
                    for out in buffers.outputs:
                        out.fill(np.nan)
                    raise error
                values = {t.index: a for t, a in zip(group.inputs, buffers.inputs, strict=True)} | constants
                for member, ins, outs in zip(group.members, group.member_inputs, group.member_outputs, strict=True):
                    values[outs[0]] = FORMULAS[member.op](*(values[i] for i in ins))
                for tensor, out in zip(group.outputs, buffers.outputs, strict=True):
                    out[...] = values[tensor.index]

            return step

        # what it asks for in vain: outputs in the memory of inputs
        return Prepared(tuple(t.shape for t in group.outputs), bind, alias={0: 0} if group.inputs else {})

    def close(self) -> None:
        self.closed += 1


def on_run(n: int, *, device_lost: bool = False) -> Callable[[int], BaseException | None]:
    """Fail on the n-th run and on every later one."""
    return lambda k: DelegateError(f"lost the plot on run {k}", device_lost=device_lost) if k >= n else None


class Joined:
    """Plugin: steps that join. calls counts what core calls in a run: one for a run of neighbours."""

    name = "joined"

    def __init__(self) -> None:
        self.calls = 0
        self.kernels = KernelSet(quality=Quality.SIMD)
        for op in ("ADD", "MUL", "NEG"):
            self.kernels.register(op, self._prepare(op))

    @hookimpl
    def sodalite_kernels(self) -> KernelSet:
        return self.kernels

    def _prepare(self, op: str) -> Callable[[NodeSpec], Prepared]:
        def prepare(node: NodeSpec) -> Prepared:
            return Prepared((node.inputs[0].shape,), lambda b: _Step(self, lambda: FORMULAS[op](*b.inputs, out=b.outputs[0])))

        return prepare

    def join(self, steps: Sequence[_Step]) -> Step:
        bodies = [s.body for s in steps]

        def run() -> None:
            self.calls += 1
            for body in bodies:
                body()

        return run


class _Step:
    def __init__(self, plugin: Joined, body: Step) -> None:
        self._plugin = plugin
        self.body = body
        self.join = plugin.join

    def __call__(self) -> None:
        self._plugin.calls += 1
        self.body()
