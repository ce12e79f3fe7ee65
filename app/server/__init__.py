"""The HTTP server, in which no client or request holds up another.

`server` starts and stops everything. `event_loop` waits for the sockets, `connection` is the state
of one client, and `deadlines` says when a client is too slow. `answer` parses requests and makes
responses with waitress's parser and tasks, and `workers` are the threads.
"""

from .answer import WAITING
from .listening import listen
from .server import Server

__all__ = ["WAITING", "Server", "listen"]
