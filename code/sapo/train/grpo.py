def train_grpo(*a, **k): raise NotImplementedError
