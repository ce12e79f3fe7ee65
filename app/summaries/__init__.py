"""Summaries: what questions need to know of time that is over, computed once.

*Page summaries* are for page statistics. A span of level n is 8^n hours long, from an hour to three
weeks; spans are counted from 1970-01-01T00:00Z, so that no change of clocks moves them. A span that
has ended before today is *sealed* when a question first asks for it: its summary is stored. A
question is answered from the fewest summaries that fit, and from the rows of what is not sealed.

*Period summaries* are for the dashboard: who was active in a day or month, in which tenants, and
how often referers with an action were viewed on a day. They are sealed likewise.

The rows are the truth. A write drops the summaries of its time in its own transaction, a summary
that is damaged or gone is passed over, and all of them can be dropped at any time: none of it
changes an answer.
"""
