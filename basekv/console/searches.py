"""What a word is looked for in: the same for a row itself and for what belongs to it."""

from basekv.console import finding

of_account = finding.any_of(finding.by_name(), finding.by_id())
of_service_account = finding.by_name()
of_instance = finding.any_of(finding.by_name(), finding.by_id())
of_node = finding.by_name()
