"""What a scenario raises when something is not as it should be."""


class Failed(Exception):
    pass
