"""`torch.fx` with symbols that do not pass for something else than the tensors they stand for."""

import gc
import logging
import sys
from typing import Any
from weakref import WeakValueDictionary

from torch import fx, nn

_log = logging.getLogger(__name__)


class Symbol(fx.Proxy):
    """A symbol that does not say what class it is of.

    `isinstance(x, Tensor)` is False for the symbols of `torch.fx`. A network that asks would be traced along a branch
    that it does not take.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class, for `torch.fx` and `nn.Module` alone.

        Raises:
            TypeError: `isinstance` in a network's own code.
        """
        frame: Any = sys._getframe(1)
        while frame.f_globals.get("__name__") == "torch.nn.parameter":
            frame = frame.f_back  # isinstance(x, Parameter) calls a function there
        # nn.Module asks whether what is stored in it is a parameter, a buffer or a module.
        if not str(frame.f_globals.get("__name__")).startswith(("torch.fx", "torch.nn.modules.module")):
            raise TypeError("its code asks for the class of a value, and symbols have another than tensors")
        return Symbol


class Tracer(fx.Tracer):
    """Records which modules call which; a module whose code does not run on symbols becomes one opaque step.

    Trace a copy: `forward` may keep what it computes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opaque: list[str] = []
        self._symbols: WeakValueDictionary[fx.Node, Symbol] = WeakValueDictionary()

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of a network.

        Raises:
            ValueError: a `forward` that was put on the object; `torch.fx` would take that of its class.
            Exception: what `torch.fx` or the network's code raises.
        """
        if "forward" in vars(root):
            raise ValueError("it has a forward of its own beside that of its class")
        return super().trace(root, concrete_args)

    def stored(self) -> set[fx.Node]:
        """The nodes whose values `forward` has put somewhere, so that more than the graph uses them."""
        if any(node.op != "get_attr" for node in list(self._symbols)):
            gc.collect()  # a call that failed leaves its symbols in its traceback
        return {node for node in list(self._symbols) if node.op != "get_attr"}

    def is_opaque(self, path: str) -> bool:
        """Whether `path` is inside an opaque step, of which the graph may have recorded a part."""
        return any(path.startswith(f"{opaque}.") for opaque in self.opaque)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """The symbol of what `node` computes."""
        symbol = self._symbols[node] = Symbol(node, self)
        return symbol

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record a call. What was recorded of a call that failed stays in the graph, and counts as uses."""
        depth = len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception as error:
            while len(self.module_stack) > depth:
                self.module_stack.popitem()
            path = self.path_of_module(m)
            _log.info("left all of %s: torch.fx cannot trace it (%s)", path, str(error))
            self.opaque.append(path)
            return self.create_proxy("call_module", path, args, kwargs)
