"""What a spec may say: declarations, which import no torch."""
