"""Operations that take several steps, each readable from top to bottom."""
