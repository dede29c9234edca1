"""What a run will take before it starts: work, hours, memory and disk, for the settings and a device.

`texts` says how long texts are and how they end, `work` makes counts and FLOPs of it with the ledger's own formulas,
`devices` turns them into hours, `memory` says what fits, `forecast` adds up. Each figure that is no formula says
whether it was measured (where, when) or is assumed.
"""
