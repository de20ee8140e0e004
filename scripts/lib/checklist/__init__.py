"""The production checklist, executed: a module of tests/checklist for each of the reference's items, and the cluster's.

    ./scripts/checklist                          against the development stack
    ./scripts/checklist --target docker://NAME   against another compose project of this machine
    ./scripts/checklist -i inventories/NAME      against the hosts of an Ansible inventory, over SSH

A check is a test function with an id, a claim and a remedy (`api.check`). While it runs it records what it observed
(`evidence`), and it ends in one of five ways:

    pass            the claim holds, and the evidence shows it
    deviation       development loosens this on purpose (`deviates`, with the reason); in production it is a failure
    does not apply  the claim is about something that is no part of this target (`does_not_apply`); counts neither way
    not proven      this deployment lacks what would prove it (`not_proven`, with what is missing); in production a
                    failure
    fail            anything else: an assertion, an error, or a pass without evidence

`results` derives the verdicts, `report` writes them for people and machines, `target` is what the checks look at: the
containers of this machine, or those of an inventory's hosts (`fleet`), both through the same objects (`machines`).
"""
