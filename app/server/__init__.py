"""Serving on sockets: who is read from, who answers, and how nobody is held up by anybody else.

`server` starts and ends it all. `event_loop` looks at the sockets, `connection` is one client's,
`answer` makes what goes to it with waitress's parser and tasks, and `workers` are the threads.
"""

from .answer import WAITING
from .listening import listen
from .server import Server

__all__ = ["WAITING", "Server", "listen"]
