"""Rows to run models on: read from files, encoded as a model's inputs, labelled and sliced as a plan says."""

from compression_engine.data.encoder import MAX_TOKENS as MAX_TOKENS
from compression_engine.data.encoder import Encoder as Encoder
from compression_engine.data.reading import read_rows as read_rows
from compression_engine.data.rows import Array as Array
from compression_engine.data.rows import Feed as Feed
from compression_engine.data.rows import ModelInput as ModelInput
from compression_engine.data.rows import Rows as Rows
