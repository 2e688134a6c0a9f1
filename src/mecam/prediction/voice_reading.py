"""What rows of `mecam-voice` say of a voice between two times: how activated it is, its pitch, its pauses.

Two heads read them. `gate` tells rows that are corrupted; they count less. `activation` tells from the mean and the
deviation of each column, over what remains, whether the voice is calm or activated. It says nothing of emotions: what
is learned of those on one set of speakers does not hold for others.
"""
