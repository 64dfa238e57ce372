#!/bin/sh
# Registers the namespace once the server answers; repeatable.
set -eu

until temporal operator cluster health --address "$TEMPORAL_ADDRESS"; do sleep 1; done
temporal operator namespace describe --address "$TEMPORAL_ADDRESS" --namespace default ||
  temporal operator namespace create --address "$TEMPORAL_ADDRESS" --namespace default --retention 720h
