"""llmner inside other libraries: a component of spaCy's pipelines, a recogniser of Presidio's.

Nothing here is imported by the rest of the package, and nothing there imports another library
before it is used.
"""
