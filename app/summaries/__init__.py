"""Page summaries: what page statistics need to know of a closed span of time, computed once.

A span of level n is 8^n hours long, from an hour to three weeks; spans are counted from
1970-01-01T00:00Z, so that no change of clocks moves them. A span that has ended before today is
*sealed* when a question first asks for it: its summary is stored. A question is answered from the
fewest summaries that fit, and from the rows of what is not sealed.

The rows of `behavior` are the truth. A write drops the summaries of its time in its own
transaction, a summary that is damaged or gone is passed over, and all of them can be dropped at any
time: none of it changes an answer.
"""
