"""Uploading adapters and taggers to the Hugging Face Hub, with a model card and licence notices.

Everything is checked before anything leaves this machine.
"""
