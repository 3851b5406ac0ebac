"""Coming from elsewhere: crontabs with tarsnap and tarsnapper, and tarsnapper's files, to a config of ours.

Pure: text in, text out; what lies on the machine is asked of a `Host`, and nothing is ever executed. Every
part of the input becomes an `Item` that says what became of it.
"""
