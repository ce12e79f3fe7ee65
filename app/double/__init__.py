"""The test double: the server with its data in memory, and a control API.

`application` assembles it. `middleware` runs before the views of the API and finds the namespace of
a request. A namespace (`namespaces`) has its data (`memory_database`, `state`), `clock`, `faults`
and `journal`. `control_api`, `schemas` and `fields` are the control API. `client` is the Python
interface, for a double in the same process or elsewhere.
"""

from .client.client import Double, DoubleClock, double
from .client.processes import DoubleError

__all__ = ["Double", "DoubleClock", "DoubleError", "double"]
