"""What language models can ask of a library, over the Model Context Protocol (MCP).

Everything here only reads: the library is opened read-only for each question. Answers are JSON within a size.
What strangers said or wrote is only ever the value of a string in it, and each answer says that it is data.
"""
