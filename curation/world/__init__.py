"""The language of the demo world: what a scene holds, what can be asked of it, and how it is put into words.

A leaf that three sides share: the source draws scenes and asks, the scripted generator describes, and the rule judge
reads. The judge gets text only, so whatever it knows it has read.
"""
