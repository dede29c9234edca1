"""The judge's side of one candidate: calls it, decodes its answers, and stands in for values that cannot cross."""

import builtins
import socket
from typing import Any

from strict_sandbox.inside import wire

STATUS_OF_REPLY = {"big": "OUTPUT", "memory": "MEMORY", "exit": "EXIT"}


class Stopped(BaseException):
    """The candidate's status is decided, whatever the tests still do."""


def _candidate_exception(name: Any) -> Exception:
    """The builtin exception of that name. StopIteration would end a test's loop early and let it pass."""
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return Exception("raised by the candidate")
    if issubclass(kind, StopIteration | StopAsyncIteration | UnicodeError | ExceptionGroup):
        return RuntimeError("raised by the candidate")
    return kind("raised by the candidate")


class Session:
    """Calls one candidate and keeps what decides its status."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.reader = wire.Reader(channel.recv)
        self.status = ""
        self.asked = 0
        self.raised: list[BaseException] = []
        self.decoder = wire.Decoder(self.stand_in)

    def stand_in(self, number: int, is_callable: bool) -> "Remote":
        return RemoteFunction(self, number) if is_callable else Remote(self, number)

    def stop(self, status: str) -> Stopped:
        self.status = self.status or status
        return Stopped(status)

    def number_of(self, value: Any) -> int:
        if type(value) in (Remote, RemoteFunction):
            return object.__getattribute__(value, "_number")
        raise self.stop("NOTPLAIN")

    def send(self, message: wire.Tree) -> None:
        try:
            self.channel.sendall(wire.frame(message))
        except OSError:
            raise self.stop("GONE") from None

    def receive(self) -> wire.Tree:
        """The child's next message, surely a list that starts with a word."""
        try:
            message = self.reader.frame()
        except (EOFError, OSError):
            raise self.stop("GONE") from None
        except wire.TooBig:
            raise self.stop("OUTPUT") from None
        except wire.WireError:
            raise self.stop("CRASH") from None
        if type(message) is not list or not message or type(message[0]) is not str:
            raise self.stop("CRASH")
        return message

    def ask(self, verb: str, target: str | int, *values: Any) -> Any:
        """The candidate's answer as a plain value; what it raises is raised here."""
        if self.status:
            raise Stopped(self.status)
        self.asked += 1
        trees = [wire.Encoder(self.number_of).tree(value) for value in values]
        self.send([verb, target, *trees])
        word, *rest = self.receive()
        if word == "value" and len(rest) == 1:
            try:
                return self.decoder.value(rest[0])
            except wire.TooBig:
                raise self.stop("OUTPUT") from None
            except wire.WireError:
                raise self.stop("CRASH") from None
        if word == "raised" and len(rest) == 1:
            error = _candidate_exception(rest[0])
            self.raised.append(error)
            raise error
        raise self.stop(STATUS_OF_REPLY.get(word, "CRASH"))

    def proxy(self, name: str) -> Any:
        def entry_point(*positional: Any, **named: Any) -> Any:
            return self.ask("call", name, list(positional), named)

        entry_point.__name__ = entry_point.__qualname__ = name
        return entry_point


class Remote:
    """Stands for a value that stayed in the child."""

    __slots__ = ("_number", "_session")

    def __init__(self, session: Session, number: int) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        return _session_of(self).ask("get", _number_of(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        _session_of(self).ask("set", _number_of(self), name, value)

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What `isinstance` asks for."""
        return _refuse(self)


class RemoteFunction(Remote):
    """One that can be called."""

    __slots__ = ()

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return _session_of(self).ask("call", _number_of(self), list(positional), named)


def _session_of(remote: Remote) -> Session:
    return object.__getattribute__(remote, "_session")


def _number_of(remote: Remote) -> int:
    return object.__getattribute__(remote, "_number")


def _refuse(remote: Remote, *_: Any) -> Any:
    raise _session_of(remote).stop("NOTPLAIN")


COMPARISONS = "eq ne lt le gt ge bool hash len iter contains getitem repr str format index int float complex round abs"
ARITHMETIC = "add sub mul truediv floordiv mod pow and or xor matmul lshift rshift divmod neg pos invert reversed enter"
for _name in [*COMPARISONS.split(), *ARITHMETIC.split(), *(f"r{name}" for name in ARITHMETIC.split()[:13])]:
    setattr(Remote, f"__{_name}__", _refuse)
