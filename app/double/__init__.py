"""The test double: the server in memory, with a control API beside it.

`application` puts it together: `front` stands before the views of the API and finds the namespace
of a request; a namespace has its data (`store`, `state`), `clock`, `faults` and `journal`; `routes`
and `schemas` are the control API. `client` is all of it for Python, in one of two `processes`.
"""

from .client.client import Double, DoubleClock, double
from .client.processes import DoubleError

__all__ = ["Double", "DoubleClock", "DoubleError", "double"]
