"""One exception of every class that Python and Modal have, and some that no one expects."""

import asyncio
import builtins
import concurrent.futures
import socket
import sqlite3
import sys

import aiohttp
import grpclib
import h2.exceptions
import modal.exception

# Warnings about the use of these classes, or that only make sense with arguments of their own.
ARGUMENTS = {
    "UnicodeDecodeError": ("utf-8", b"\xff", 0, 1, "no text"),
    "UnicodeEncodeError": ("ascii", "é", 0, 1, "no ASCII"),
    "UnicodeTranslateError": ("é", 0, 1, "no letter"),
    "BaseExceptionGroup": ("several", [KeyError("a"), SystemExit(3)]),
    "ExceptionGroup": ("several", [KeyError("a"), OSError(5, "b")]),
}


class WithoutText(Exception):
    """An exception whose text cannot be had."""

    def __str__(self):
        raise ValueError("no text")


def _subclasses(kind):
    yield kind
    for below in kind.__subclasses__():
        yield from _subclasses(below)


def classes():
    """Every public exception class of Python and of Modal, by name."""
    found = [
        each
        for module in (builtins, modal.exception)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, BaseException)
    ]
    found += _subclasses(modal.exception.Error)
    named = {f"{each.__module__}.{each.__qualname__}": each for each in found}
    return dict(sorted(named.items()))


def _make(kind, text):
    arguments = ARGUMENTS.get(kind.__name__, (text,))
    try:
        return kind(*arguments)
    except TypeError:  # it wants other arguments
        return kind.__new__(kind, *arguments)


def every_exception():
    """An exception of every class, by name; each with a text of its own."""
    made = {name: _make(kind, f"a text of {name}") for name, kind in classes().items()}
    # Of the libraries that Modal's client uses, and of others.
    made["asyncio.CancelledError"] = asyncio.CancelledError("cancelled")
    made["concurrent.futures.CancelledError"] = concurrent.futures.CancelledError("cancelled")
    made["aiohttp.ClientError"] = aiohttp.ClientError("no connection")
    made["grpclib.GRPCError"] = grpclib.GRPCError(grpclib.Status.UNAVAILABLE, "not now")
    made["h2.ProtocolError"] = h2.exceptions.ProtocolError("no protocol")
    made["socket.gaierror"] = socket.gaierror(-2, "no such name")
    made["sqlite3.OperationalError"] = sqlite3.OperationalError("locked")
    made["without text"] = WithoutText()
    made["of many lines"] = RuntimeError("CUDA error:\n" + "a line\n" * 1000)
    made["without arguments"] = TimeoutError()
    made["of an unpicklable value"] = ValueError(sys._getframe())
    return made
