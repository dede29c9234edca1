"""Real benchmarks: GSM8K, MATH, MMLU_Math, MBPP, HumanEval."""
