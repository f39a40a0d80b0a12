"""One row's object, field by field, while the model writes it: the library's engine with somebody who listens.

Above the library (`api`), whose options it takes. The service's stream of events is a face of it.
"""

from llmx.streaming.parts import FieldDone, ObjectDone, Part, Restarted
from llmx.streaming.streams import Streams, astream, open_streams, stream

__all__ = ["FieldDone", "ObjectDone", "Part", "Restarted", "Streams", "astream", "open_streams", "stream"]
