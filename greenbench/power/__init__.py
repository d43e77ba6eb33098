"""Power meters outside the machine: their logs, and recording one."""
