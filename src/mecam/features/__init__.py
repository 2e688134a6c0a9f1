"""From a video or sound file to features with times: decoding, extractors, alignment, and the way into a store."""
