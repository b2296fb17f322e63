"""The whole system on new patients: gate, segmentation, uncertainty, report, and the ablation of the gate."""
