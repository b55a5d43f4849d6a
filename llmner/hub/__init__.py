"""The Hugging Face Hub: what may be uploaded of adapters and taggers, under which licence, with
which card.

Uploads are checked before anything leaves this machine. How models are made is no concern of it.
"""
