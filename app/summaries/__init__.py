"""Summaries of past time, computed once so that queries need not read all rows.

*Page summaries* are for page statistics. A span of level n is 8^n hours long, from an hour to three
weeks; spans are counted from 1970-01-01T00:00Z, so that daylight saving time does not move them. A
span that ended before today is *sealed* when a query first needs it: its summary is stored. A query
is answered from the fewest summaries that cover its range, and from the rows of unsealed time.

*Period summaries* are for the dashboard: who was active in a day or month, in which tenants, and
how often referers with an action were viewed on a day. They are sealed in the same way.

The rows are the source of truth. A write drops the summaries of its time in its own transaction, a
damaged or missing summary is ignored, and summaries can be dropped at any time: none of this
changes an answer.
"""
