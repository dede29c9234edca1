"""From rollouts to step labels: detection, the four labellers, expansion."""
