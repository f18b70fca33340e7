"""What a bulk run would take: time, money and disk, for one worker or thousands, before anything is computed."""
